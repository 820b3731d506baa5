"""Options of `constraint=[...]`: hard rules that a stimulus is brought under after every step, one file per option."""
