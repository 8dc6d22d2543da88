// Before a package is packed: whether everything that its manifest leads to is there. A checkout that was not built makes no tarball.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

const { name, exports = {}, bin = {}, publishConfig = {} } = JSON.parse(readFileSync('package.json', 'utf8'));

/** Every path in `value`, however deep. */
function paths(value) {
  if (typeof value === 'string') return [value];
  return Object.values(value).flatMap(paths);
}

/** Whether a path of a manifest is there; of `./data/*` and `./dist/*.html` any. */
function isThere(path) {
  const [before, after] = path.split('*');
  if (after === undefined) return existsSync(path);
  const folder = dirname(`${before}x`);
  return existsSync(folder) && readdirSync(folder).some((name) => name.endsWith(after));
}

const missing = paths({ exports: publishConfig.exports ?? exports, bin }).filter((path) => !isThere(path));
if (missing.length > 0) {
  process.stderr.write(`${name} is not built: ${missing.join(', ')} missing. npm run build makes them.\n`);
  process.exit(1);
}
