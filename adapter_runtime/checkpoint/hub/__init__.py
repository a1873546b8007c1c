"""AdapterHub files of all versions: read, written, composed by fusion layers."""
