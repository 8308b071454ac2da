"""The style of the page."""

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root {
  color-scheme: light dark;
  --back: #ffffff; --text: #1b1f24; --soft: #59636e; --line: #d1d9e0; --panel: #f6f8fa;
  --clear: #fff3c4; --sealed: #cfe8ff; --names: #a9d1f7; --keys: #7fb3e6; --refused: #e4e7eb; --unknown: #ffffff;
  --up: #a40e26; --up-back: #ffe3e3; --down: #0a5d2c; --down-back: #dcf5e4; --move: #5a3a9e; --ink: #14181d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #11151a; --text: #e6e9ed; --soft: #9aa5b1; --line: #343c46; --panel: #191f26;
    --clear: #6b5510; --sealed: #17456e; --names: #1d5a92; --keys: #2874b8; --refused: #2a3038; --unknown: #11151a;
    --up: #ff9b9b; --up-back: #4a1a1f; --down: #7ee2a0; --down-back: #12391f; --move: #c4b1ff; --ink: #f4f6f8;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 78rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
footer { margin-top: 2rem; color: var(--soft); font-size: .8rem; overflow-wrap: anywhere; }
.verdict { padding: .6rem .9rem; border-left: .35rem solid var(--line); background: var(--panel); }
.verdict.loosens { border-color: var(--up); background: var(--up-back); }
.verdict.changes { border-color: var(--down); background: var(--down-back); }
.tiles, .legend { display: flex; flex-wrap: wrap; gap: .6rem; margin: .5rem 0 1rem; padding: 0; list-style: none; }
.tiles li { flex: 1 1 9rem; display: flex; flex-direction: column; padding: .7rem .9rem;
  border: 1px solid var(--line); border-top: .3rem solid var(--line); border-radius: .3rem; background: var(--panel); }
.tiles strong { font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tiles small { color: var(--soft); }
.tiles .loosens, .tiles .refused { border-top-color: var(--up); }
.tiles .tightens { border-top-color: var(--down); }
.tiles .moves { border-top-color: var(--move); }
.legend { gap: .3rem 1.1rem; font-size: .85rem; color: var(--soft); align-items: center; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { padding: .35rem .6rem; border: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { background: var(--panel); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
.plain td { font-variant-numeric: tabular-nums; }
.list { width: 100%; }
.list tbody th { overflow-wrap: anywhere; min-width: 13rem; }
.list td:not(:has(ul)) { white-space: nowrap; }
.list ul { margin: 0; padding: 0; list-style: none; }
.list .loosens b, .list .refused b { color: var(--up); }
.list .tightens b { color: var(--down); }
.list .chosen b, .list .work b { color: var(--move); }
.matrix td { padding: 0; min-width: 4.5rem; height: 2.1rem; text-align: center; white-space: nowrap;
  position: relative; }
.matrix th.target { font-size: .8rem; font-weight: 500; white-space: nowrap; }
.matrix tbody th { white-space: nowrap; position: sticky; left: 0; background: var(--back); }
.matrix .half { display: inline-flex; width: 50%; height: 100%; min-height: 2.1rem; align-items: center;
  justify-content: center; }
.matrix td:not(.changed) .half { width: 100%; }
.matrix .changed .old { border-right: 2px dashed var(--ink); }
.matrix .changed b { position: absolute; right: .25rem; top: 0; font-size: .75rem; line-height: 1.2; }
.matrix .loosens { outline: 3px solid var(--up); outline-offset: -3px; }
.matrix .loosens b { color: var(--up); }
.matrix .tightens { outline: 3px solid var(--down); outline-offset: -3px; }
.matrix .tightens b { color: var(--down); }
.matrix .loosens.tightens { outline-style: double; outline-color: var(--up); }
.half { color: var(--ink); }
.half.clear { background: var(--clear); } .half.sealed { background: var(--sealed); }
.half.names { background: var(--names); } .half.keys { background: var(--keys); }
.half.refused { background: var(--refused); } .half.unknown { background: var(--unknown); }
.legend .half { display: inline-block; min-width: 1.6rem; padding: 0 .3rem; text-align: center;
  border: 1px solid var(--line); color: var(--ink); }
.legend .old { border-right: 2px dashed var(--ink); }
.words { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
details { margin-top: .5rem; }
@media print { body { max-width: none; padding: 0; } .scroll { overflow: visible; } }
"""
