// SPDX-License-Identifier: ISC
// check-then-act: what a lookup has found is acted upon by another call, and the map may have changed in between.

// The lookup's answer decides.
@decided exists@
expression map, key;
statement S;
position p, q;
identifier get =~ "^soma_(u64|map)_get(_copy|_ref)?$";
identifier act =~ "^soma_(u64|map)_(put|remove|replace|fetch_add)$";
@@
(
 if (<+... get@p(map, key, ...) ...+>) { <+... act@q(map, key, ...) ...+> } else S
|
 if (<+... get@p(map, key, ...) ...+>) { <+... act@q(map, key, ...) ...+> }
|
 if (<+... get@p(map, key, ...) ...+>) { ... return ...; }
 ... when any
 act@q(map, key, ...)
)

@script:python@
p << decided.p; q << decided.q; map << decided.map; get << decided.get; act << decided.act;
@@
print("%s:%s: check-then-act: %s() on %s acts on what %s() found in line %s; another thread may come in between: use put_new, replace, "
      "remove_if, cas, fetch_add or update, which look and act at one instant"
      % (q[0].file, q[0].line, act, map, get, p[0].line))

@otherwise exists@
expression map, key;
statement S;
position p, q;
identifier get =~ "^soma_(u64|map)_get(_copy|_ref)?$";
identifier act =~ "^soma_(u64|map)_(put|remove|replace|fetch_add)$";
@@
 if (<+... get@p(map, key, ...) ...+>) S else { <+... act@q(map, key, ...) ...+> }

@script:python@
p << otherwise.p; q << otherwise.q; map << otherwise.map; get << otherwise.get; act << otherwise.act;
@@
print("%s:%s: check-then-act: %s() on %s acts on what %s() found in line %s; another thread may come in between: use put_new, replace, "
      "remove_if, cas, fetch_add or update, which look and act at one instant"
      % (q[0].file, q[0].line, act, map, get, p[0].line))

// The same, by way of a variable.
@kept exists@
expression map, key;
identifier status;
statement S;
position p, q;
identifier get =~ "^soma_(u64|map)_get(_copy|_ref)?$";
identifier act =~ "^soma_(u64|map)_(put|remove|replace|fetch_add)$";
type T;
@@
(
 T status = get@p(map, key, ...);
|
 status = get@p(map, key, ...);
)
 ... when != status = ...
(
 if (<+... status ...+>) { <+... act@q(map, key, ...) ...+> } else S
|
 if (<+... status ...+>) S else { <+... act@q(map, key, ...) ...+> }
|
 if (<+... status ...+>) { <+... act@q(map, key, ...) ...+> }
)

@script:python@
p << kept.p; q << kept.q; map << kept.map; get << kept.get; act << kept.act;
@@
print("%s:%s: check-then-act: %s() on %s acts on what %s() found in line %s; another thread may come in between: use put_new, replace, "
      "remove_if, cas, fetch_add or update, which look and act at one instant"
      % (q[0].file, q[0].line, act, map, get, p[0].line))

// The value that is put is made of the value that was found.
@computed exists@
expression map, key;
identifier value;
position p, q;
@@
 soma_u64_get@p(map, key, &value)
 ... when any
 soma_u64_put@q(map, key, <+... value ...+>, ...)

@script:python@
p << computed.p; q << computed.q; map << computed.map;
@@
print("%s:%s: check-then-act: the value that is put in %s is made of the one that was found in line %s; what another thread puts in between "
      "is lost: use fetch_add, cas or update" % (q[0].file, q[0].line, map, p[0].line))

// A mutex that is let go between looking and acting.
@let_go exists@
expression table, key, lock;
position p, q;
identifier find =~ "^g_hash_table_(lookup|contains)$";
identifier act =~ "^g_hash_table_(insert|replace|add|remove|steal)$";
identifier open =~ "(^|_)unlock$|^G_UNLOCK$";
identifier shut =~ "(^|_)(lock|rdlock|wrlock)$|^G_LOCK$";
@@
 find@p(table, key)
 ... when any
 open(lock)
 ... when any
     when != find(table, key)
 shut(lock)
 ... when any
     when != find(table, key)
     when != open(lock)
 act@q(table, key, ...)

@script:python@
p << let_go.p; q << let_go.q; table << let_go.table; lock << let_go.lock;
@@
print("%s:%s: check-then-act: %s was asked in line %s, and %s was let go and taken again since: look again behind the lock, or use put_new "
      "and its like" % (q[0].file, q[0].line, table, p[0].line, lock.replace("& ", "")))
