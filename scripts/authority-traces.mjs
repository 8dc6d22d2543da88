// Makes the traces of the specification of the owner of code anew: node scripts/authority-traces.mjs
//
// Quint is not among the dependencies: 80 packages for what changes once in a while. Its TypeScript backend simulates; no JVM, and nothing that
// it would download. The parser's runtime is pinned, since the version that is newer by its number alone does not run on Node.js 20.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';

const PACKAGES = ['@informalsystems/quint@0.33.1', 'antlr4ts@0.5.0-alpha.4'];
const SPECIFICATION = join(root, 'packages/code-authority/spec/authority.qnt');
/** Where the same seed leads is the same: whoever changes nothing gets the same traces. */
const SEED = '1';

const text = readFileSync(SPECIFICATION, 'utf8');
const kept = join(root, 'fixtures/authority');
const folder = mkdtempSync(join(tmpdir(), 'heki-traces-'));

/** @param words what follows `quint` on its command line */
function quint(...words) {
  const program = join(folder, 'node_modules/@informalsystems/quint/dist/src/cli.js');
  const backend = ['--backend', 'typescript', '--seed', SEED, '--verbosity', '1'];
  process.stdout.write(execFileSync(process.execPath, [program, ...words, ...backend], { encoding: 'utf8' }));
}

/** A trace with one state a line, and nothing of the day on which it was made. */
function written({ vars, states }) {
  const meta = { format: 'ITF', specificationSha256: createHash('sha256').update(text).digest('hex') };
  const lines = states.map(({ '#meta': _, ...state }) => JSON.stringify(state));
  return `{"#meta":${JSON.stringify(meta)},"vars":${JSON.stringify(vars)},"states":[\n${lines.join(',\n')}\n]}\n`;
}

try {
  const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder, ...PACKAGES];
  execFileSync('npm', install, { stdio: 'pipe' });
  // Those that are told by hand, and those of chance, in all of which `safe` holds.
  quint('test', SPECIFICATION, '--out-itf', join(folder, '{test}.itf.json'));
  const chance = ['--max-steps', '40', '--max-samples', '100', '--n-traces', '6', '--invariant', 'safe'];
  quint('run', SPECIFICATION, ...chance, '--out-itf', join(folder, 'chance-{seq}.itf.json'));
  rmSync(kept, { recursive: true, force: true });
  mkdirSync(kept);
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.itf.json')))
    writeFileSync(join(kept, name), written(JSON.parse(readFileSync(join(folder, name), 'utf8'))));
} finally {
  rmSync(folder, { recursive: true });
}
