"""Options of `gradient=[...]`: what is done to the gradient before the optimizer sees it, one file per option."""
