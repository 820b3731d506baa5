"""What a run leaves behind: tensors, tables, video, figure."""
