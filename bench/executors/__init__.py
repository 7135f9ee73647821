"""Who answers asks: this process, or several. Adding an executor is one module and one row of `EXECUTORS`."""
