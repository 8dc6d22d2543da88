// Builds the program that breaks lines and asks whether tests miss them, and runs it: `pnpm mutants`.
import { runInternalProgram } from './internal-program.mjs';

runInternalProgram('mutants');
