"""Storage of small whole files in a local or shared folder or an object store. Never imports torch."""
