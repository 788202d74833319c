"""Signers of a request: the executor's sessions, and everyone else."""

ROLE_ID = "AROAEXECUTOREXAMPLE1"
OTHER_ROLE_ID = "AROAEXECUTOREXAMPLE2"
ARN = "arn:aws:sts::111111111111:assumed-role/executor"

FORGED: dict[str, dict[str, str | None]] = {
    "nobody": {"caller": None, "userArn": None},
    "empty": {"caller": "", "userArn": ""},
    "a user": {"caller": "AIDAEXAMPLEUSERID1234", "userArn": "arn:aws:iam::111111111111:user/admin"},
    "the root": {"caller": "111111111111", "userArn": "arn:aws:iam::111111111111:root"},
    "another role": {"caller": "AROAANOTHERROLE12345:222222222222-x", "userArn": f"{ARN}/222222222222-x"},
    "part of a role id": {"caller": f"{ROLE_ID[:-1]}:222222222222-x", "userArn": f"{ARN}/222222222222-x"},
    "no role id": {"caller": ":222222222222-x", "userArn": f"{ARN}/222222222222-x"},
    "both role ids": {"caller": f"{ROLE_ID},{OTHER_ROLE_ID}:222222222222-x", "userArn": f"{ARN}/222222222222-x"},
    "a longer role id": {"caller": f"{ROLE_ID}0:222222222222-x", "userArn": f"{ARN}/222222222222-x"},
    "no session": {"caller": ROLE_ID, "userArn": "arn:aws:iam::111111111111:role/executor"},
    "empty session": {"caller": f"{ROLE_ID}:", "userArn": f"{ARN}/"},
    "no account": {"caller": f"{ROLE_ID}:orders-caller", "userArn": f"{ARN}/orders-caller"},
    "account only": {"caller": f"{ROLE_ID}:222222222222", "userArn": f"{ARN}/222222222222"},
    "short account": {"caller": f"{ROLE_ID}:22222222222-x", "userArn": f"{ARN}/22222222222-x"},
    "long account": {"caller": f"{ROLE_ID}:2222222222222-x", "userArn": f"{ARN}/2222222222222-x"},
    "other digits": {"caller": f"{ROLE_ID}:{'٢' * 12}-x", "userArn": f"{ARN}/{'٢' * 12}-x"},
    "line break": {"caller": f"{ROLE_ID}:222222222222-x\n", "userArn": f"{ARN}/222222222222-x\n"},
    "a colon": {"caller": f"{ROLE_ID}:222222222222-x:y", "userArn": f"{ARN}/222222222222-x:y"},
    "no ARN": {"caller": f"{ROLE_ID}:222222222222-x", "userArn": None},
    "ARN of another session": {"caller": f"{ROLE_ID}:222222222222-x", "userArn": f"{ARN}/333333333333-x"},
    "ARN that only ends so": {"caller": f"{ROLE_ID}:222222222222-x", "userArn": f"{ARN}/333333333333-x/222222222222-x"},
    "pattern": {"caller": f"{ROLE_ID}:222222222222-...", "userArn": f"{ARN}/222222222222-abc"},
}
