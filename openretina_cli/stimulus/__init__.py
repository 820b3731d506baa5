"""Options of `stimulus=...`: the parameters of which a stimulus is made, and where they start; one file per option."""
