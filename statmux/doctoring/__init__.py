"""What `statmux doctor` looks at: each file measures one side of the machine, and judges what it measured."""
