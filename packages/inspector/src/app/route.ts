import { useEffect, useState } from 'preact/hooks';
import type { Edits, LifeQuery, MomentQuery, WalkQuery } from '../model/inspector-model.ts';

/** The pages of the inspector, in the order of its navigation. */
export const PAGES = [
  { id: 'memory', title: 'Memory' },
  { id: 'walk', title: 'Walk' },
  { id: 'time', title: 'Time' },
  { id: 'attacks', title: 'Attacks' },
  { id: 'tours', title: 'Tours' },
] as const;
export type PageId = (typeof PAGES)[number]['id'];

/** Where one is, as the part of the address behind `#` has it: the position is shared by it, never memory. */
export interface Route {
  readonly page: PageId;
  readonly parameters: URLSearchParams;
}

/** Where `#walk?va=0x...` leads. What is not understood leads to the first page. */
export function parseRoute(hash: string): Route {
  const [name = '', query = ''] = hash.replace(/^#/, '').split('?', 2);
  const page = PAGES.find(({ id }) => id === name)?.id ?? 'memory';
  return { page, parameters: new URLSearchParams(query) };
}

export function routeTo(page: PageId, parameters: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(parameters).toString();
  return `#${page}${query === '' ? '' : `?${query}`}`;
}

/** The route, which changes with the address. */
export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const change = (): void => setRoute(parseRoute(location.hash));
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  return route;
}

/** Goes to a place without a step for "back": what is typed or toggled. */
export function replaceRoute(hash: string): void {
  // Who looks around on a tour stays on it.
  const tour = parseRoute(location.hash).parameters.get('tour');
  history.replaceState(
    null,
    '',
    tour === null ? hash : `${hash}${hash.includes('?') ? '&' : '?'}tour=${tour}`,
  );
  dispatchEvent(new HashChangeEvent('hashchange'));
}

const ACCESSES = ['read', 'write', 'fetch'] as const;
const HEX = /^0x[0-9a-f]{1,16}$/;
/** Of an entry: `h` before one in host memory. */
const ENTRY = /^h?0x[0-9a-f]{1,16}$/;

/** The entries that a route has in place of those in memory. */
export function editsOf(parameters: URLSearchParams): Edits {
  const edits: Record<string, string> = {};
  for (const edit of parameters.getAll('edit')) {
    const [address = '', value = ''] = edit.split('-', 2);
    if (ENTRY.test(address) && HEX.test(value)) edits[address] = value;
  }
  return edits;
}

function addEdits(parameters: URLSearchParams, edits: Edits): void {
  for (const [at, value] of Object.entries(edits)) parameters.append('edit', `${at}-${value}`);
}

/** The audit of the dump with these entries. */
export function auditRoute(edits: Edits): string {
  const parameters = new URLSearchParams();
  addEdits(parameters, edits);
  return `#memory?${parameters}`;
}

function cpuOf(parameters: URLSearchParams): number | undefined {
  const cpu = parameters.get('cpu') ?? '';
  return /^\d{1,3}$/.test(cpu) ? Number(cpu) : undefined;
}

/** The walk that a route asks for. @param fallback the address where it names none */
export function walkQueryOf(parameters: URLSearchParams, fallback: string): WalkQuery {
  return {
    address: parameters.get('va') ?? fallback,
    access: ACCESSES.find((one) => one === parameters.get('access')) ?? 'read',
    user: parameters.has('user'),
    edits: editsOf(parameters),
    cpu: cpuOf(parameters),
  };
}

/** @param moment where in time the walk is, if it is not one of the dump */
export function walkRoute({ address, access, user, edits, cpu }: WalkQuery, moment?: MomentQuery): string {
  const parameters = new URLSearchParams({
    va: address,
    ...(moment && { ...lifeParameters(moment.life), at: String(moment.at) }),
  });
  if (access !== 'read') parameters.set('access', access);
  if (user) parameters.set('user', '');
  if (cpu !== undefined) parameters.set('cpu', String(cpu));
  addEdits(parameters, edits);
  return `#walk?${parameters}`;
}

/** The machine where a route names none. */
const USUAL_MACHINE = 'hardened';

/** Whose life a route is about. */
export function lifeOf(parameters: URLSearchParams): LifeQuery {
  return {
    machine: parameters.get('machine') ?? USUAL_MACHINE,
    kernel: parameters.get('kernel') === 'dump' ? 'dump' : 'modelled',
    scenario: parameters.get('scenario'),
    attack: parameters.get('attack'),
  };
}

export function lifeParameters({ machine, kernel, scenario, attack }: LifeQuery): Record<string, string> {
  if (scenario !== null) return { scenario };
  return { machine, ...(kernel === 'dump' && { kernel }), ...(attack !== null && { attack }) };
}

/** The moment that a walk is at; `undefined` for a walk of the dump. */
export function momentOf(parameters: URLSearchParams): MomentQuery | undefined {
  const at = Number(parameters.get('at') ?? Number.NaN);
  if (!Number.isInteger(at) || at < 0) return undefined;
  return { life: lifeOf(parameters), at };
}
