"""The lab with its functions in containers: `sam local` against both deployed stacks."""
