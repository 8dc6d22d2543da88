// `npm run docs:build`: the documentation as a website, in internal/site/dist-site.
import { root } from '../internal/launcher/src/root.mjs';
import { setUpOrTell } from '../internal/launcher/src/run-heki.mjs';
import { runInternalProgram } from './internal-program.mjs';

if (!(await setUpOrTell())) process.exit(1);
runInternalProgram('site', { cwd: root });
