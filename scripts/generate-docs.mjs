// Writes the parts of the documentation that the model produces: `pnpm docs`. With --check: fails when one is stale.
import { runInternalProgram } from './internal-program.mjs';
import { root } from './prepare.mjs';

runInternalProgram('docs', { cwd: root });
