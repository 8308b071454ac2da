# --- What is asked: {"key", "label", "stored", "metadata", "scan": {"counts", "complete"}}, all but the key optional;
# --- one such object as the input, or many under `objects`. Keys are in Unicode form NFC: Rego cannot make it so.

decision := decide(input) if input.key

decisions := [decide(asked) | some asked in input.objects]

decide(asked) := object.union({"label": spelled(own.label), "rules": own.rules, "waivers": live}, outcome) if {
	own := understood[asked]
	outcome := outcomes[own.scope]
	live := sort(own.scope.waivers)
}

# An unknown label is an error, and no answer: were it left out, the object would seem to be less than it is.
decide(asked) := {"error": "a label is unknown, names two levels, or is no text"} if not sound(asked)

asked_for contains input if input.key

asked_for contains asked if some asked in input.objects

understood[asked] := {"label": own, "rules": rules_of(found), "scope": scope} if {
	some asked in asked_for
	sound(asked)
	found := matching(asked)
	own := label_of(asked, found)
	scope := scope_of(asked, own)
}

sound(asked) if every name in ["label", "stored"] { labels[object.get(asked, name, levels[0])] }

# Every text that is a label, of the policy and of what is asked, and what it means.
mentioned contains text if some text in [levels[0], default_label]

mentioned contains rule.label if some rule in rules

mentioned contains waiver.label if some waiver in waivers

mentioned contains text if {
	some asked in asked_for
	some name in ["label", "stored"]
	text := asked[name]
}

labels[text] := label(text) if {
	some text in mentioned
	readable(text)
}

readable(text) if {
	is_string(text)
	every name in names(text) { known(name) }
	count([name | some name in names(text); name in levels]) <= 1
}

known(name) if name in levels

known(name) if categories[name]

# --- Labels: {"level": its place in `levels`, "categories": a set}

names(text) := [trim_space(name) |
	some part in split(object.get(aliases, trim_space(text), text), "+")
	some name in split(object.get(aliases, trim_space(part), part), "+")
]

implies[name] := category.implies if some name, category in categories

rank[name] := place if some place, name in levels

label(text) := {"level": level, "categories": closed} if {
	closed := {category |
		some name in names(text)
		categories[name]
		some category in graph.reachable(implies, {name})
	}
	level := max(({0} | {rank[name] | some name in names(text)}) | {rank[categories[name].minimum] | some name in closed})
}

join(labels) := {"level": max({one.level | some one in labels}), "categories": union({one.categories | some one in labels})}

spelled(own) := concat("+", array.concat([levels[own.level]], sort(own.categories)))

elements(own) := {name | some place, name in levels; place <= own.level} | own.categories

# --- 1. Classify: the join of every matching rule, the caller's label and the stored label.
# --- No rule matched, or the content was not looked at to its end: the default too.

matching(asked) := {rule.id |
	some rule in rules
	applies(rule, asked)
	found_in_content(rule, asked)
}

applies(rule, asked) if {
	rule.id in ruled[asked.key]
	every name, value in object.get(rule, "meta", {}) { asked.metadata[name] == value }
}

# The rules and the waivers in whose path each key is.
ruled[key] := found if {
	some key in keys
	found := {rule.id | some rule in rules; on_path(rule, key)}
}

waived[key] := found if {
	some key in keys
	found := {waiver.id | some waiver in waivers; on_path(waiver, key)}
}

keys contains asked.key if some asked in asked_for

on_path(rule, _) if {
	not rule.under
	not rule.is
	not rule.path
}

on_path(rule, key) if startswith(key, rule.under)

on_path(rule, key) if key == rule.is

on_path(rule, key) if regex.match(rule.path, key)

found_in_content(rule, _) if not rule.content

found_in_content(rule, asked) if {
	found := asked.scan.counts[rule.content.detector]
	is_number(found)
	found >= rule.content.min
}

doubtful(_, found) if count(found) == 0

doubtful(asked, _) if {
	asked.scan
	not asked.scan.complete
}

doubtful(asked, _) if {
	asked.scan
	some rule in rules
	rule.content
	not rule.content.detector in object.keys(asked.scan.counts)
	applies(rule, asked)
}

label_of(asked, found) := join((given | carried) | defaulted) if {
	given := {labels[object.get(asked, name, levels[0])] | some name in ["label", "stored"]}
	carried := {labels[rule.label] | some rule in rules; rule.id in found}
	defaulted := {labels[default_label] | doubtful(asked, found)}
}

rules_of(found) := sort(found) if count(found) > 0

rules_of(found) := ["default"] if count(found) == 0

# --- 6. A waiver counts that is live, on the path, and for labels up to its own.

scope_of(asked, own) := {"elements": elements(own), "waivers": live} if {
	live := {waiver.id |
		some waiver in waivers
		facts.day < waiver.expires
		waiver.id in waived[asked.key]
		elements(own) & elements(labels[waiver.label]) == elements(own)
	}
}

# --- Facts: only what is checked, trusted and live on the day counts, and what is unknown satisfies nothing.

facts := data.facts

supported(evidence) if {
	evidence.basis in {"verified", "measured", "attested"}
	evidence.confidence in {"high", "medium"}
	not expired(evidence)
}

expired(evidence) if evidence.expires <= facts.day

# A zone holds what meets every one of its predicates.
in_zone(zone, subject) if every predicate in zone { holds(predicate, subject) }

holds(predicate, subject) if {
	some axis in ["located", "controlled", "technology"]
	predicate[axis]
	allowed := {country | some name in predicate[axis]; some country in object.get(groups, name, [name])}
	fact := subject[axis]
	supported(fact)
	count(fact.countries) > 0
	every country in fact.countries { country in allowed }
}

# That nobody opens it alone is an answer.
holds(predicate, subject) if {
	predicate.alone
	allowed := {country | some name in predicate.alone; some country in object.get(groups, name, [name])}
	fact := subject.alone
	supported(fact)
	fact.known
	every country in fact.countries { country in allowed }
}

holds(predicate, subject) if {
	some found in subject.qualified
	found.scheme == predicate.qualified
	found.status == "qualified"
	supported(found)
	recent(found.version, predicate.version)
}

holds(predicate, subject) if {
	some found in subject.seal
	found.framework == predicate.seal
	assessed(found.assessor, predicate.assessors)
	supported(found)
	every objective, least in predicate.levels { found.levels[objective] >= least }
}

holds(predicate, subject) if subject.provider in predicate.provider

holds(predicate, subject) if {
	some name in subject.names
	name in predicate.target
}

recent(_, least) if count(least) == 0

# 3.2 and 3.2.0 are the same version; one that is not known is not recent.
recent(version, least) if {
	count(version) > 0
	padded(version) >= padded(least)
}

padded(version) := array.slice(array.concat(version, [0, 0, 0, 0, 0, 0, 0, 0]), 0, 8)

assessed(_, among) if count(among) == 0

assessed(assessor, among) if assessor in among

# The targets and the key services of each zone.
members[name] := inside if {
	some name, zone in zones
	inside := {id | some id, target in facts.targets; in_zone(zone, target)}
}

holders[name] := inside if {
	some name, zone in zones
	inside := {id | some id, service in facts.keys; in_zone(zone, service)}
}

# --- 3. A target fails a requirement that denies it, or whose `where` it does not meet.

barred[place] := refused if {
	some place, requirement in requirements
	refused := {id | some id, target in facts.targets; bars(requirement, id, target)}
}

bars(requirement, id, _) if {
	some name in requirement.deny
	id in members[name]
}

bars(requirement, _, target) if target.provider in requirement.deny

bars(requirement, _, target) if {
	some name in requirement.deny
	name in target.names
}

bars(requirement, _, target) if {
	requirement.where
	not in_zone(requirement.where, target)
}

# --- 2. and 4. A mode is the set of what it demands: more is stricter. Of each element of the label one alternative is
# --- met; what is left is the least of what meets all of them, with a key service for each.

demanded(place, scope) if requirements[place].element in scope.elements

ways(place, scope, _) := {set()} if not demands_store(place, scope)

ways(place, scope, id) := own | excepted if {
	demands_store(place, scope)
	own := {way.mode | some way in requirements[place].store; id in members[way.zone]}
	excepted := {way.mode |
		requirements[place].waivable
		some waiver in waivers
		waiver.id in scope.waivers
		some way in waiver.store
		id in members[way.zone]
	}
}

demands_store(place, scope) if {
	demanded(place, scope)
	requirements[place].store
}

both(these, those) := {joined |
	some one in these
	some other in those
	joined := one | other
}

kept(modes) := {mode | some mode in modes; not beaten(mode, modes)}

beaten(mode, modes) if {
	some other in modes
	other != mode
	other & mode == other
}

served(mode) if count(key_zones(mode)) == 0

served(mode) if {
	some id, _ in facts.keys
	every zone in key_zones(mode) { id in holders[zone] }
}

key_zones(mode) := {trim_prefix(demand, "keys in ") | some demand in mode; startswith(demand, "keys in ")}

barring(scope, id) if {
	some place, _ in requirements
	demanded(place, scope)
	id in barred[place]
}

modes(scope, id) := set() if barring(scope, id)

modes(scope, id) := kept(possible) if {
	not barring(scope, id)
	possible := {mode | some mode in meeting(scope, id); served(mode)}
}

spoken(mode) := {
	"encrypt": ["none", "client"][count(mode & {"encrypt"})],
	"names": ["clear", "encrypt"][count(mode & {"names"})],
	"keys": sort(key_zones(mode)),
}

listed(least) := [spoken(mode) | some mode in least]

# --- 5. Computing is on plaintext: every list of zones counts, and the lowest level has to have one.

computable(scope, id) if {
	some lowest in requirements
	lowest.element == levels[0]
	lowest.compute
	not barring(scope, id)
	every place, requirement in requirements { computing(place, requirement, scope, id) }
}

computing(place, _, scope, _) if not demanded(place, scope)

computing(_, requirement, _, _) if not requirement.compute

computing(_, requirement, _, id) if {
	some zone in requirement.compute
	id in members[zone]
}

# --- The answer: the targets that comply, with the least modes of each, and those that are refused.

scopes contains understood[asked].scope if some asked in asked_for

outcomes[scope] := outcome if {
	some scope in scopes
	complying := {id: least | some id, _ in facts.targets; least := modes(scope, id); count(least) > 0}
	demands := {requirement | some requirement in requirements; requirement.element in scope.elements}
	outcome := {
		"store": {id: listed(least) | some id, least in complying},
		"refused": sort({id | some id, _ in facts.targets; not complying[id]}),
		"compute": sort({id | some id, _ in facts.targets; computable(scope, id)}),
		"copies": max({1} | {found.copies | some found in demands}),
		"distinct": sort({what | some found in demands; some what in found.distinct}),
	}
}
