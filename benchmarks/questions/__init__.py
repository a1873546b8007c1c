"""One module a question: each measures all of its contenders in one run and writes its result."""

import os

from serving.opening import THREAD_PLAN

# As the server does before torch loads; what is measured in a process of its own has none of it.
for _name, _value in THREAD_PLAN.items():
    os.environ.setdefault(_name, _value)
