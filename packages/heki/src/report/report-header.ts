import { createRequire } from 'node:module';

const manifest: { readonly version: string } = createRequire(import.meta.url)('heki/package.json');

/** The version of the command. */
export const VERSION: string = manifest.version;

/** The versions of the shapes that are published under `schemas/`: a change that a reader could stumble over makes one more. */
const SCHEMA_VERSIONS = {
  attack: 1,
  'attack-list': 1,
  audit: 1,
  backends: 1,
  boot: 1,
  diff: 1,
  error: 1,
  explain: 1,
  explore: 1,
  extract: 1,
  find: 1,
  'fleet-changed': 1,
  'fleet-results': 1,
  'fleet-run': 1,
  'fleet-set-aside': 1,
  'fleet-status': 1,
  'fleet-submit': 1,
  'fleet-work': 1,
  inspect: 1,
  kunit: 1,
  'kunit-tests': 1,
  protect: 1,
  read: 1,
  replay: 1,
  symbols: 1,
  translate: 1,
  version: 1,
  walk: 1,
  watch: 1,
  workloads: 1,
} as const;

/** Names of the shapes. */
export type SchemaName = keyof typeof SCHEMA_VERSIONS;

/** What every JSON object that the command prints begins with. */
export interface ReportHeader {
  readonly tool: { readonly name: 'heki'; readonly version: string };
  /** `schemas/NAME.schema.json` of this package. */
  readonly schema: { readonly name: SchemaName; readonly version: number };
}

/** The header of what has the shape `name`. */
export function reportHeader(name: SchemaName): ReportHeader {
  return { tool: { name: 'heki', version: VERSION }, schema: { name, version: SCHEMA_VERSIONS[name] } };
}

/** What `--version --json` prints: the version of the command, and those of all shapes. */
export function versionReport(): ReportHeader & { readonly schemas: Readonly<Record<SchemaName, number>> } {
  return { ...reportHeader('version'), schemas: SCHEMA_VERSIONS };
}
