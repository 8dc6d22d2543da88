// Every relative link in the documentation leads to a file or a folder that exists.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';

/** The Markdown files of a folder, and of the folders right in it. */
function pagesIn(folder, deep) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return deep ? pagesIn(path, false) : [];
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

const pages = [
  ...pagesIn('.', false),
  ...['docs', 'packages', 'examples', 'internal', 'vectors', 'fixtures'].flatMap((folder) =>
    pagesIn(folder, true),
  ),
];
let links = 0;
const broken = pages.flatMap((page) => {
  // What stands in code is not a link.
  const text = readFileSync(join(root, page), 'utf8').replace(/```[\s\S]*?```|`[^`\n]*`/g, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
    const [path] = target.split('#');
    if (path === '' || /^[a-z]+:/.test(path)) return [];
    links++;
    return existsSync(join(root, dirname(page), path)) ? [] : [`${page}: ${target} is not there`];
  });
});
for (const line of broken) console.log(line);
if (broken.length === 0) console.log(`${links} links of ${pages.length} pages lead to something`);
process.exitCode = broken.length === 0 ? 0 : 1;
