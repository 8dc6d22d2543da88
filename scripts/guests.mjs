// Builds the programs that boot real guests under QEMU, and runs them: `pnpm guests`.
import { runInternalProgram } from './internal-program.mjs';

runInternalProgram('guests');
