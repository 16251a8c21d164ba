// SPDX-License-Identifier: ISC
// borrowed: a pointer that is good until the section ends gets out of it.

@after exists@
identifier value, part;
position p, q;
identifier lend =~ "^soma_map_(get_ref|put|put_new|replace|cas|remove|remove_if)$";
@@
 lend@p(..., &value)
 ... when any
     when != value = ...
 soma_read_exit();
 ... when any
     when != soma_read_enter();
     when != lend(..., &value)
     when != value = ...
 value@q.part

@script:python@
p << after.p; q << after.q; value << after.value; part << after.part; lend << after.lend;
@@
if part == "data":
    print("%s:%s: borrowed: %s, which %s() in line %s lent, is used behind soma_read_exit(): use it before, or copy it (soma_map_get_copy)"
          % (q[0].file, q[0].line, value, lend, p[0].line))

@after_cell exists@
identifier object;
position p, q;
type T;
expression E;
@@
(
 T object = soma_cell_read@p(...);
|
 object = soma_cell_read@p(...);
)
 ... when any
     when != object = E
 soma_read_exit();
 ... when any
     when != soma_read_enter();
     when != object = E
 object@q

@script:python@
p << after_cell.p; q << after_cell.q; object << after_cell.object;
@@
print("%s:%s: borrowed: %s, which soma_cell_read() in line %s lent, is used behind soma_read_exit(): use it before, or count references in it"
      % (q[0].file, q[0].line, object, p[0].line))

@returned exists@
identifier value;
position p, q;
identifier lend =~ "^soma_map_(get_ref|put|put_new|replace|cas|remove|remove_if)$";
@@
 lend@p(..., &value)
 ... when any
     when != value = ...
(
 return@q value.data;
|
 return@q (<+... value.data ...+>);
|
 return@q value;
)

@script:python@
p << returned.p; q << returned.q; value << returned.value; lend << returned.lend;
@@
print("%s:%s: borrowed: %s, which %s() in line %s lent, is returned, and the caller does not see that it must be inside a section: copy it "
      "(soma_map_get_copy), or name the function _ref and say so" % (q[0].file, q[0].line, value, lend, p[0].line))

@stored exists@
identifier value;
identifier f;
expression E;
position p, q;
identifier lend =~ "^soma_map_(get_ref|put|put_new|replace|cas|remove|remove_if)$";
@@
 lend@p(..., &value)
 ... when any
     when != value = ...
(
 E->f =@q value.data
|
 E->f =@q value
|
 E[...] =@q value.data
)

@script:python@
p << stored.p; q << stored.q; value << stored.value; lend << stored.lend;
@@
print("%s:%s: borrowed: %s, which %s() in line %s lent, is stored where it outlives the section: copy it (soma_map_get_copy)"
      % (q[0].file, q[0].line, value, lend, p[0].line))

// In a variable of the file.
@of_file@
identifier x;
type T;
@@
 T x;

@stored_global exists@
identifier value;
identifier of_file.x;
position p, q;
local idexpression other;
identifier lend =~ "^soma_map_(get_ref|put|put_new|replace|cas|remove|remove_if)$";
@@
 lend@p(..., &value)
 ... when any
     when != value = ...
(
 other = value.data
|
 x =@q value.data
|
 x =@q value
)

@script:python@
p << stored_global.p; q << stored_global.q; value << stored_global.value; lend << stored_global.lend;
@@
print("%s:%s: borrowed: %s, which %s() in line %s lent, is stored where it outlives the section: copy it (soma_map_get_copy)"
      % (q[0].file, q[0].line, value, lend, p[0].line))
