import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The repository's own address, from its manifest. */
export function homeOf(root: string): string {
  const { repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return String(repository.url).replace(/^git\+|\.git$/g, '');
}
