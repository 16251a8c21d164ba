# SPDX-License-Identifier: ISC
69d
87,91c\
	git_atomic_ssize memory_used;\
	size_t memory_limit;\
	struct git_pack_bases *entries; /* on Soma, shared without a lock */
92a\
\
int git_pack_cache_init(git_pack_cache *cache);\
void git_pack_cache_free(git_pack_cache *cache);\
git_pack_cache_entry *git_pack_cache_get(git_pack_cache *cache, off64_t offset);\
int git_pack_cache_add(git_pack_cache_entry **out, git_pack_cache *cache, git_rawobj *base, off64_t offset);\
void git_pack_cache_release(git_pack_cache_entry *entry);
