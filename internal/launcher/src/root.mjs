import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the clone. */
export const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

/** The path of a tool's script in the root's node_modules. */
export function tool(...parts) {
  return join(root, 'node_modules', ...parts);
}
