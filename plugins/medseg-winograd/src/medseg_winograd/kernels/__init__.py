"""The machine code, written as LLVM's; compiled for the processor at hand by ``medseg_winograd.machine``."""
