"""Objects in a bucket of an S3 service, by boto3's core. One adapter: what differs between providers is settings.

What is asked for each object (put, get, head, delete, a part) goes over connections of our own, with the same signature
and a fifth of the work; the rest is the SDK's, and so is everything where `signature` is `s3`.

`Binding.container` is the bucket, `endpoint` the URL of the service (AWS needs none, only `region`), `hosts` the only
hosts that a request may go to; with virtual addressing, the bucket's own host below one of them too. Settings:

================== ==================================== ==============================================================
`addressing`       `path` (default), `virtual`          where the bucket stands in the URL
`signature`        `s3v4` (default), `s3`               the signature's version; `s3` is the old one of some appliances
`checksums`        `when-required`, `when-supported`    CRC32 beside single puts, and on answers: many refuse it
`etags`            `md5` (default), `opaque`            whether an ETag of 32 hex digits is the body's MD5
`keys`             `any` (default), `files`             `files`: names must do as file names, `/` is the only delimiter
`versions`         `purge` (default), `leave`           whether a removal takes every version of an object along
`retention-mode`   `compliance` (default), `governance` who may end a retention early: nobody, or whom the bucket lets
`anonymous`        bool                                 send no signature
`ambient`          bool                                 use the environment's credentials when the binding has none
`bulk-delete`      bool (default true)                  whether the service knows `DeleteObjects`
`attempts`         int (default 3)                      how often a call that may be repeated is made
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds
`page`             int (default 1000)                   how many names a listing asks for at a time
`ca-bundle`        path                                 certificates to trust instead of the system's
`put_max` …        int                                  the fields of `Limits`
a feature's name   `native`, `emulated`, …              how the service offers it (`conditional-put: unsafe`)
================== ==================================== ==============================================================

`conditional-put` counts as absent unless it is set: most services accept `If-None-Match` and ignore it. Credentials are
`access_key`, `secret_key` and `session_token`, or `profile`, a profile of the shared files that holds keys. The
environment's proxies, endpoints, certificates and regions are not looked at, the metadata service of a cloud's machines
is never asked; nor is any other service asked for `ambient` credentials: those are the environment's variables, keys of
the shared files, and what a `credential_process` of theirs prints.

What was stored is verified by the ETag, against the MD5 of what was sent, where it is one; else by the size that the
service reports. Payloads are not signed: TLS and this comparison do more.

A bucket that keeps versions would keep the bytes of what is removed; so it is asked once, and versions are removed one
by one, which needs s3:GetBucketVersioning, s3:ListBucketVersions and s3:DeleteObjectVersion there. `retention` is set
to `native` for a bucket that was made with object lock; it needs s3:PutObjectRetention and s3:GetObjectRetention.
"""

from __future__ import annotations

from sovbroker.ports import Binding
from sovbroker_adapters.s3.client import Connection
from sovbroker_adapters.s3.settings import Settings
from sovbroker_adapters.s3.store import S3Store

__all__ = ["S3Store", "build"]


def build(binding: Binding, /) -> S3Store:
    """Open the bucket `binding.container`. Raises ConfigError when the binding cannot work; makes no request."""
    settings = Settings.of(binding)
    return S3Store.at(Connection(binding, settings), settings)
