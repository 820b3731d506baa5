"""Options of `objective=...`: what is made as large as possible, one file per option."""
