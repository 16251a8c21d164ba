# SPDX-License-Identifier: ISC
71a\
		git_cache_global_init,
