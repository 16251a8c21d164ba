// SPDX-License-Identifier: ISC
// unlocked: a hash table of the file that one function uses under a lock, and another without any.

@initialize:python@
@@
import re
guarded = {}
touched = []
quiet = re.compile(r"(_locked|_unlocked|_nolock|_init|_new|_create|_setup|_free|_destroy|_fini|_cleanup|_exit|_finalize)$|^(main|init|fini|cleanup|destroy)")

// Variables of the file.
@table@
identifier t;
@@
 GHashTable *t;

@head@
identifier t, s;
@@
 struct s *t;

@held exists@
expression lock;
identifier table.t;
identifier user =~ "^g_hash_table_";
identifier shut =~ "(^|_)(lock|rdlock|wrlock)$|^G_LOCK$";
identifier open =~ "(^|_)unlock$|^G_UNLOCK$";
position p;
@@
 shut(lock);
 ... when != open(...)
 user@p(<+... t ...+>, ...)

@script:python@
t << table.t; lock << held.lock; p << held.p;
@@
guarded.setdefault((p[0].file, t), (lock, p[0].line))

@held_head exists@
expression lock;
identifier head.t;
identifier user =~ "^HASH_(ADD|FIND|DEL|DELETE|REPLACE|ITER|COUNT)";
identifier shut =~ "(^|_)(lock|rdlock|wrlock)$|^G_LOCK$";
identifier open =~ "(^|_)unlock$|^G_UNLOCK$";
position p;
@@
 shut(lock);
 ... when != open(...)
 user@p(..., t, ...)

@script:python@
t << head.t; lock << held_head.lock; p << held_head.p;
@@
guarded.setdefault((p[0].file, t), (lock, p[0].line))

// All uses, and those behind a lock in their own function.
@used@
identifier table.t;
identifier fn;
identifier user =~ "^g_hash_table_(lookup|lookup_extended|contains|insert|replace|add|remove|steal|remove_all|foreach|foreach_remove|iter_init|size|get_keys|get_values|find)$";
position q;
@@
 fn(...) { <+... user@q(<+... t ...+>, ...) ...+> }

@behind exists@
identifier table.t;
identifier used.user;
position used.q;
identifier shut =~ "(_lock|_LOCK|LOCK|_trylock|_rdlock|_wrlock|mutex_locker_new)$";
@@
 shut(...)
 ... when any
 user@q(<+... t ...+>, ...)

@script:python depends on !behind@
t << table.t; fn << used.fn; q << used.q;
@@
touched.append((q[0].file, int(q[0].line), t, fn))

@used_head@
identifier head.t;
identifier fn;
identifier user =~ "^HASH_(ADD|FIND|DEL|DELETE|REPLACE|COUNT)";
position q;
@@
 fn(...) { <+... user@q(..., t, ...) ...+> }

@behind_head exists@
identifier head.t;
identifier used_head.user;
position used_head.q;
identifier shut =~ "(_lock|_LOCK|LOCK|_trylock|_rdlock|_wrlock)$";
@@
 shut(...)
 ... when any
 user@q(..., t, ...)

@script:python depends on !behind_head@
t << head.t; fn << used_head.fn; q << used_head.q;
@@
touched.append((q[0].file, int(q[0].line), t, fn))

// Tables in structs: by the name of the member.
@held_member exists@
expression lock, E;
identifier f;
identifier user =~ "^g_hash_table_";
identifier shut =~ "(^|_)(lock|rdlock|wrlock)$|^G_LOCK$";
identifier open =~ "(^|_)unlock$|^G_UNLOCK$";
position p;
@@
 shut(lock);
 ... when != open(...)
 user@p(E->f, ...)

@script:python@
f << held_member.f; lock << held_member.lock; p << held_member.p;
@@
guarded.setdefault((p[0].file, "->" + f), (lock, p[0].line))

@used_member@
expression E;
identifier held_member.f;
identifier fn;
identifier user =~ "^g_hash_table_(lookup|lookup_extended|contains|insert|replace|add|remove|steal|remove_all|foreach|foreach_remove|iter_init|size|get_keys|get_values|find)$";
position q;
@@
 fn(...) { <+... user@q(<+... E->f ...+>, ...) ...+> }

@behind_member exists@
expression E;
identifier held_member.f;
identifier used_member.user;
position used_member.q;
identifier shut =~ "(_lock|_LOCK|LOCK|_trylock|_rdlock|_wrlock|mutex_locker_new)$";
@@
 shut(...)
 ... when any
 user@q(<+... E->f ...+>, ...)

@script:python depends on !behind_member@
f << held_member.f; fn << used_member.fn; q << used_member.q;
@@
touched.append((q[0].file, int(q[0].line), "->" + f, fn))

@finalize:python@
@@
for file, line, t, fn in sorted(set(touched)):
    if (file, t) in guarded and not quiet.search(fn):
        lock, where = guarded[(file, t)]
        lock = lock.replace("& ", "")
        print("%s:%d: unlocked: %s() uses %s without a lock, and %s guards it in line %s: take it here, too, or use a map that needs none"
              % (file, line, fn, t, lock, where))
