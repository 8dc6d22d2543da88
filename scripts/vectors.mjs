// Builds the vector runner and runs it: `pnpm vectors DIR`.
import { runInternalProgram } from './internal-program.mjs';

runInternalProgram('vectors');
