// SPDX-License-Identifier: ISC
// walk-and-change: a table changes while it is being gone through.

@own exists@
expression map;
identifier cursor;
position p, q;
identifier open =~ "^soma_cursor_open_(u64|map)$";
identifier step =~ "^soma_cursor_next_(u64|ref)$";
identifier act =~ "^soma_(u64|map)_(put|put_new|put_many|fetch_add|clear)$";
@@
 open(map, &cursor)
 ... when any
 while (<+... step@p(cursor, ...) ...+>) { <+... act@q(map, ...) ...+> }

@script:python@
p << own.p; q << own.q; map << own.map; act << own.act;
@@
print("%s:%s: walk-and-change: %s() puts into %s, which the cursor in line %s goes through; new keys may come or not, and there may be no end: "
      "walk a view (soma_cursor_open_view)" % (q[0].file, q[0].line, act, map, p[0].line))

@glib exists@
expression table;
identifier iter;
position p, q;
identifier act =~ "^g_hash_table_(insert|replace|add|remove|steal|remove_all|foreach_remove)$";
@@
 g_hash_table_iter_init(&iter, table)
 ... when any
 while (<+... g_hash_table_iter_next@p(&iter, ...) ...+>) { <+... act@q(table, ...) ...+> }

@script:python@
p << glib.p; q << glib.q; table << glib.table; act << glib.act;
@@
print("%s:%s: walk-and-change: %s() changes %s, which the iterator in line %s goes through and which is undefined behind it: use "
      "g_hash_table_iter_remove() or g_hash_table_iter_replace(), or a map whose cursors allow it"
      % (q[0].file, q[0].line, act, table, p[0].line))

@uthash exists@
identifier e, hh;
expression head;
position p, q;
identifier del =~ "^HASH_(DEL|DELETE)$";
@@
 for (e = head; <+... e ...+>; e = e@p->hh.next) { <+... del@q(head, e) ...+> }

@script:python@
p << uthash.p; q << uthash.q; head << uthash.head; e << uthash.e;
@@
print("%s:%s: walk-and-change: %s is taken out of %s, and the loop in line %s goes on from it: use HASH_ITER, or a map whose cursors allow it"
      % (q[0].file, q[0].line, e, head, p[0].line))
