// Writes the parts of the documentation that the model produces: `pnpm docs`. With --check: fails when one is stale. With --long: the pages
// that take minutes, and no others; with --fidelity: docs/fidelity.md alone; with FILE...: these alone.

import { root } from '../internal/launcher/src/root.mjs';
import { runInternalProgram } from './internal-program.mjs';

runInternalProgram('docs', { cwd: root });
