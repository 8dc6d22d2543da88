// Builds the program that has QEMU and Bochs execute instruction sequences, and runs it: `pnpm judges`.
import { runInternalProgram } from './internal-program.mjs';

runInternalProgram('judges');
