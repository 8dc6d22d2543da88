import type { MachineSpecification } from './machine-specification.ts';

/** What several specifications say together: of each property the last word counts, and of single defects that about each. */
export function joinSpecifications(...specifications: readonly MachineSpecification[]): MachineSpecification {
  const said = specifications.flatMap((one) =>
    Object.entries(one).filter(([, value]) => value !== undefined),
  );
  const defects = Object.assign({}, ...specifications.map((one) => one.defects ?? {}));
  const joined: MachineSpecification = Object.fromEntries(said);
  return Object.keys(defects).length === 0 ? joined : { ...joined, defects };
}
