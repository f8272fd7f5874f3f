"""How fast the policy decides: ``plan`` starts the processes, the others work in them."""
