import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Application, type DeclarationReflection } from 'typedoc';
import { homeOf } from './home.ts';

/** An entry point of a package. */
export interface EntryPoint {
  /** What a program imports: `@heki/x86/cpu-profiles`. */
  readonly name: string;
  /** The folder of its package, in `packages/`. */
  readonly folder: string;
  /** Of its package, in a line. */
  readonly description: string;
  /** The path of its source. */
  readonly source: string;
}

/** Every entry point of every package, from the manifests. */
export function entryPoints(root: string): readonly EntryPoint[] {
  return readdirSync(join(root, 'packages')).flatMap((folder) => {
    const manifest = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8'));
    const entries: [string, unknown][] = Object.entries(manifest.exports ?? {});
    return entries.flatMap(([entry, target]) => {
      const source = sourceOf(target);
      if (source === undefined) return [];
      return [
        {
          name: `${manifest.name}${entry.slice(1)}`,
          folder,
          description: String(manifest.description),
          source: join(root, 'packages', folder, source),
        },
      ];
    });
  });
}

/**
 * Writes a page for everything that the packages export into the folder `to`.
 *
 * @returns how many entry points there are
 * @throws {Error} when an entry point is missing from what came out, or TypeDoc warned: of a link that leads nowhere, a type that is not exported, a parameter that is not there
 */
export async function writeApiPages(root: string, to: string): Promise<number> {
  // The deepest first: else `@heki/fleet/queue` would have to give way to the interface `Queue` of `@heki/fleet`, and be `queue-1`.
  const entries = entryPoints(root).toSorted((a, b) => depthOf(b) - depthOf(a));
  const app = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown'],
    entryPoints: entries.map(({ source }) => source),
    tsconfig: join(root, 'internal/site/tsconfig.api.json'),
    out: to,
    readme: 'none',
    name: 'API',
    // The build has checked them.
    skipErrorChecking: true,
    excludeInternal: true,
    excludePrivate: true,
    hideGenerator: true,
    // Where something is defined leads to its line in the repository.
    disableGit: true,
    basePath: root,
    displayBasePath: root,
    gitRevision: 'main',
    sourceLinkTemplate: `${homeOf(root)}/blob/{gitRevision}/{path}#L{line}`,
    sort: ['source-order'],
    sortEntryPoints: false,
    // What a reader looks for first; the classes are mostly errors.
    groupOrder: ['Functions', 'Interfaces', 'Type Aliases', 'Variables', 'Classes'],
    validation: { invalidLink: true, notExported: true, notDocumented: false },
    logLevel: 'Warn',
  });
  app.options.setValue('outputFileStrategy' as never, 'modules' as never);
  app.options.setValue('entryFileName' as never, 'index' as never);
  // The places in a page are named as its links name them: VitePress numbers headings that are alike otherwise.
  app.options.setValue('useHTMLAnchors' as never, true as never);
  // The list beside the page says where one is.
  app.options.setValue('hidePageHeader' as never, true as never);
  app.options.setValue('hideBreadcrumbs' as never, true as never);
  const project = await app.convert();
  if (project === undefined) throw new Error('the packages could not be read');
  const names = new Map(entries.map(({ name, source }) => [relative(root, source), name]));
  for (const module of project.children ?? []) renameModule(module, root, names);
  if (names.size > 0) throw new Error(`no pages were made of ${[...names.values()].join(', ')}`);
  app.validate(project);
  await app.generateOutputs(project);
  for (const entry of entries) sayWhatItIs(join(to, `${entry.name}.md`), entry);
  writeFileSync(join(to, 'index.md'), indexOf(entryPoints(root)));
  if (app.logger.hasWarnings()) throw new Error('TypeDoc warned of what the packages export');
  return entries.length;
}

/** Below the title of its page: what the package is, and the way to its guide. */
function sayWhatItIs(page: string, { name, folder, description }: EntryPoint): void {
  const said = `${description}\n\n[How to use it](/packages/${folder}/): examples, limits, who judged it.`;
  const text = readFileSync(page, 'utf8');
  writeFileSync(
    page,
    text.replace(`# ${name}\n`, (title) => `${title}\n${said}\n`),
  );
}

/** The page that leads to all others. */
function indexOf(entries: readonly EntryPoint[]): string {
  const rows = entries.map(({ name, folder, description }) => {
    const isMain = name === 'heki' || name === `@heki/${folder}`;
    return `| [${name}](/api/${name}) | ${isMain ? description : ''} |`;
  });
  return ['# API', '', '| import | is |', '| --- | --- |', ...rows, ''].join('\n');
}

const depthOf = ({ name }: EntryPoint): number => name.split('/').length;

/** A module bears the name that programs import. */
function renameModule(module: DeclarationReflection, root: string, names: Map<string, string>): void {
  const file = module.sources?.[0]?.fullFileName;
  const path = file === undefined ? undefined : relative(root, file);
  const name = path === undefined ? undefined : names.get(path);
  if (path === undefined || name === undefined) throw new Error(`${module.name} is no entry point`);
  module.name = name;
  names.delete(path);
}

/** What has no built file is for this project's own tests, and is not published. */
function sourceOf(target: unknown): string | undefined {
  if (typeof target !== 'object' || target === null || !('@heki/source' in target) || !('default' in target))
    return undefined;
  const source = target['@heki/source'];
  return typeof source === 'string' && source.endsWith('.ts') ? source : undefined;
}
