// SPDX-License-Identifier: ISC
// unchecked: a call that may refuse (no memory, the cap), and nobody looks at its answer.

@refused@
position p;
identifier call =~ "^soma_((u64|map)_(new|put|put_new|replace|cas|cas_version|remove|remove_if|fetch_add|update|put_many|remove_many|reserve|clear|view_open|copy|sync_open)|cursor_open_[a-z0-9_]+|retire|cell_publish|cell_publish_if|frozen_build|frozen_open|frozen_write|patch_[a-z0-9_]+_wait|patch_make|sync_run_wait|view_digest)$";
@@
 call@p(...);

@script:python@
p << refused.p; call << refused.call;
@@
print("%s:%s: unchecked: %s() may refuse (SOMA_E_NOMEM, SOMA_E_LIMIT), which changes nothing: look at its status, or cast it to void where a "
      "refusal does not matter" % (p[0].file, p[0].line, call))

// A lookup whose answer nobody asks for, into a variable without a value.
@unset disable decl_init exists@
identifier value;
type T;
position p;
identifier get =~ "^soma_((u64|map)_get(_copy|_ref|_version)?|frozen_get_[a-z0-9_]+|view_get_[a-z0-9_]+)$";
@@
 T value;
 ... when != value = ...
     when != &value
 get@p(..., &value);

@script:python@
p << unset.p; get << unset.get; value << unset.value;
@@
print("%s:%s: unchecked: %s() leaves %s as it is if the key is absent: look at its status, or give %s a value before"
      % (p[0].file, p[0].line, get, value, value))
