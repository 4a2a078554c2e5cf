"""What is to be trained, and training it: jobs, the tasks that workers do, and what comes of them."""

from initbench.work.dataset import load_dataset
from initbench.work.executing import execute_task, lost
from initbench.work.jobs import Engine, Job, Task, task_name, tasks_of
from initbench.work.recording import Finished

__all__ = ["Engine", "Finished", "Job", "Task", "execute_task", "load_dataset", "lost", "task_name", "tasks_of"]
