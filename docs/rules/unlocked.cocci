// SPDX-License-Identifier: ISC
// unlocked: a hash table of the file that one function uses under a lock, and another without any.
//
// The patterns only gather, cheaply: what is used, called and declared where, and which calls are reached from a lock without its unlock. The script at
// the end puts it together. A function counts as called with a lock held if its comment says so, or if it is static, and every call of it in the file is
// made with that lock held, from such a function or from one that is passed over by its name. Where the patterns did not see all that the file's
// text has of its name, or it is given away as a callback, nothing is concluded.

@initialize:python@
@@
import collections
import re
uses = set()      # (file, line, column, function, table)
behind = set()    # (file, line, column) of calls that some lock comes before
under = collections.defaultdict(set)  # (file, line, column) of a call -> [(lock, its text)] that are held there
calls = set()     # (file, line, column, caller, callee)
each = set()      # the same, of functions that GLib calls for each entry
defined = {}      # (file, function) -> line
static = set()    # (file, function)
declared = set()  # (file, line, function) of prototypes
locals_ = set()   # (file, function, name)
wanted = set()    # functions whose calls are looked at: what uses tables, and static ones
quiet = re.compile(r"(_locked|_unlocked|_nolock|_init|_new|_create|_setup|_free|_destroy|_fini|_cleanup|_exit|_finalize)$|^(main|init|fini|cleanup|destroy)")
primitive = re.compile(r"^(pthread_|mtx_|g_mutex_|g_rec_mutex_|g_rw_lock_|g_static_|G_LOCK)")
held_words = [re.compile(words, re.I) for words in (
    r"\b\w*(lock|mutex)\w*\W+((is|are|must|should|has|have|needs?|to|be|already)\W+)*(held|taken|locked)\b",
    r"\b(must|should|has to|have to|needs? to|callers?)\W+(already\W+)?(hold|own)s?\b[^.;]{0,40}(lock|mutex)",
    r"\b(called?|runs?|used|invoked)\b[^.;]{0,30}\b(holding|under)\b[^.;]{0,30}(lock|mutex)")]
denied = re.compile(r"\b(not|never|no|without|nor)\b", re.I)

def says_held(comment):
    """Whether a sentence of it says that callers hold a lock."""
    return any(words.search(sentence) and not denied.search(sentence) for sentence in re.split(r"[.;]", comment) for words in held_words)

def at(p):
    return p[0].file, int(p[0].line), int(p[0].column)

def spaces(text):
    return re.sub(r"\s+", "", text)

def table_name(text):
    text = re.sub(r"\[[^\]]*\]$", "", spaces(text).strip("()&*"))
    member = re.search(r"(?:->|\.)(\w+)$", text)
    return "->" + member.group(1) if member else text if re.match(r"^\w+$", text) else None

def split(args):
    depth, out = 0, [""]
    for c in args:
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            out.append("")
        else:
            out[-1] += c
    return out

def which(shut, lock):
    """What two calls on one lock have in common: the lock's last name, or the function that takes it."""
    return re.split(r"->|\.|&|\(", spaces(lock).rstrip(")"))[-1] if primitive.match(shut) else shut

// What is used, called and declared.
@use@
expression T;
identifier user =~ "^g_hash_table_(lookup|lookup_extended|contains|insert|replace|add|remove|steal|steal_extended|remove_all|steal_all|foreach|foreach_remove|iter_init|size|get_keys|get_values|find)$";
position p;
@@
 user@p(T, ...)

@script:python@
t << use.T; user << use.user; p << use.p;
@@
wanted.add(user)
uses.add(at(p) + (p[0].current_element, table_name(t)))

@use_head@
expression list es;
identifier user =~ "^HASH_(ADD|FIND|DEL|DELETE|REPLACE|COUNT)";
position p;
@@
 user@p(es)

@script:python@
es << use_head.es; user << use_head.user; p << use_head.p;
@@
wanted.add(user)
arg = 1 if re.match(r"^HASH_(ADD|FIND|DELETE|REPLACE)(_KEYPTR|_BYHASHVALUE|_INORDER)*$", user) else 0
args = split(str(es))
if len(args) > arg:
    uses.add(at(p) + (p[0].current_element, table_name(args[arg])))

@call@
identifier f;
position p;
@@
 f@p(...)

@script:python@
f << call.f; p << call.p;
@@
calls.add(at(p) + (p[0].current_element, f))

@for_each@
identifier user =~ "^g_hash_table_(foreach|foreach_remove|foreach_steal|find)$";
expression T;
identifier f;
position p;
@@
 user@p(T, f, ...)

@script:python@
f << for_each.f; p << for_each.p;
@@
each.add(at(p) + (p[0].current_element, f))

@definition@
identifier f;
position p;
@@
 f@p(...) { ... }

@script:python@
f << definition.f; p << definition.p;
@@
defined[(p[0].file, f)] = int(p[0].line)

@of_file@
identifier f;
type T;
position p;
@@
(
 static T f@p(...) { ... }
|
 static inline T f@p(...) { ... }
)

@script:python@
f << of_file.f; p << of_file.p;
@@
static.add((p[0].file, f))
wanted.add(f)

@prototype@
identifier f;
type T;
position p;
@@
 T f@p(...);

@script:python@
f << prototype.f; p << prototype.p;
@@
declared.add((p[0].file, int(p[0].line), f))

@variable@
identifier v;
type T;
position p;
@@
(
 T v@p;
|
 T v@p = ...;
)

@script:python@
v << variable.v; p << variable.p;
@@
locals_.add((p[0].file, p[0].current_element, v))

@formal@
identifier f, v;
type T;
position p;
@@
 f(..., T v@p, ...) { ... }

@script:python@
f << formal.f; v << formal.v; p << formal.p;
@@
locals_.add((p[0].file, f, v))

// Which calls are made with a lock held, and which have any lock before them.
@held depends on use || use_head exists@
expression lock;
identifier f : script:python() { f in wanted };
identifier shut =~ "(^|_)(lock|rdlock|wrlock|locker_new)$|^G_LOCK$";
identifier open =~ "(^|_)unlock$|^G_UNLOCK$";
position l, p;
@@
 shut@l(lock)
 ... when any
     when != open(lock)
 f@p(...)

@script:python@
lock << held.lock; shut << held.shut; l << held.l; p << held.p;
@@
if l[0].line != p[0].line or l[0].column != p[0].column:
    under[at(p)].add((which(shut, lock), lock))

@before exists@
identifier user =~ "^g_hash_table_|^HASH_";
identifier shut =~ "(_lock|_LOCK|LOCK|_trylock|_rdlock|_wrlock|locker_new)$";
position p;
@@
 shut(...)
 ... when any
 user@p(...)

@script:python@
p << before.p;
@@
behind.add(at(p))

@finalize:python@
@@
def source(file):
    """Its text without comments and strings, and its comments by the line behind their end."""
    with open(file, errors="replace") as f:
        text = f.read()
    comments = {}
    def blank(m):
        if m.group(0)[0] == chr(47):
            comments[text.count("\n", 0, m.end()) + 1] = m.group(0)
        return re.sub(r"[^\n]", " ", m.group(0))
    # Quotes and slashes as numbers: spatch reads scripts, too.
    bare = re.sub(r"\x2f\*.*?\*\x2f|\x2f\x2f[^\n]*|\x22(?:\\.|[^\x22\\\n])*\x22|\x27(?:\\.|[^\x27\\\n])*\x27", blank, text, flags=re.S)
    return bare, comments

sources = {}
def look(file):
    if file not in sources:
        sources[file] = source(file)
    return sources[file]

def said(file, f):
    """Whether the comment before the definition says that a lock is held: with nothing but the head of the function between the two."""
    bare, comments = look(file)
    lines = bare.split("\n")
    line = defined[(file, f)]
    while line > 0:
        if line in comments and says_held(comments[line]):
            return True
        line -= 1
        if line > 0 and re.search(r"[;}]\s*$|^#", lines[line - 1]):
            break
    return False

def all_seen(file, f):
    """Whether the patterns saw all that the text has of the function's name."""
    bare = look(file)[0]
    seen = {defined[(file, f)]} | {l for d, l, g in declared if (d, g) == (file, f)} | {c[1] for c in calls if (c[0], c[4]) == (file, f)}
    given = sum((c[0], c[4]) == (file, f) for c in each)
    for m in re.finditer(r"\b%s\b(\s*\()?" % re.escape(f), bare):
        if not m.group(1):
            given -= 1
        elif bare.count("\n", 0, m.start()) + 1 not in seen:
            return False
    return given == 0

# What is guarded, by which lock, and where that was seen first.
guarded = collections.defaultdict(dict)
for file, line, column, fn, t in sorted(u for u in uses if u[4]):
    if (file, fn, t) not in locals_:
        for name, lock in sorted(under.get((file, line, column), ())):
            guarded[(file, t)].setdefault(name, (lock, line))

callers = collections.defaultdict(set)
for file, line, column, fn, f in calls | each:
    if (file, f) in static and fn != f:
        callers[(file, f)].add((line, column, fn))

def with_lock(file, f, name, asking=()):
    """Whether the function is called with that lock held, and only so."""
    if (file, f) not in defined or f in asking:
        return False
    if said(file, f):
        return True
    if not callers[(file, f)] or not all_seen(file, f):
        return False
    return all(name in {n for n, _ in under.get((file, line, column), ())} or quiet.search(fn) or with_lock(file, fn, name, asking + (f,))
               for line, column, fn in callers[(file, f)])

for file, line, column, fn, t in sorted(u for u in uses if u[4]):
    locks = guarded.get((file, t))
    if not locks or (file, line, column) in behind or (file, fn, t) in locals_ or quiet.search(fn):
        continue
    if any(with_lock(file, fn, name) for name in locks):
        continue
    lock, where = min(locks.values(), key=lambda l: l[1])
    print("%s:%d: unlocked: %s() uses %s without a lock, and %s guards it in line %s: take it here, too, or use a map that needs none"
          % (file, line, fn, t, spaces(lock).replace("&", ""), where))
