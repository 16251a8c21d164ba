# SPDX-License-Identifier: ISC
# libgit2 is C90; the template is C11.
6a\
set_source_files_properties(soma_cache.c soma_bases.c PROPERTIES COMPILE_OPTIONS "-std=c11")
