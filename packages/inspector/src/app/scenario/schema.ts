/** Of JSON Schema (2020-12) what the schema of scenarios is written in. */
export interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly description?: string;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
}

/** A value within the one around it. */
export interface Step {
  /** The name of its property; `undefined` for an element of an array. */
  readonly name: string | undefined;
  /** What the object around it says elsewhere, by name: strings, numbers, booleans. */
  readonly beside: ReadonlyMap<string, unknown>;
}

/** The schemas that a value may follow, each without alternatives. @param path from the whole text to the value */
export function schemasAt(root: Schema, path: readonly Step[]): Schema[] {
  return path.reduce((schemas, step) => within(root, schemas, step), alternatives(root, root));
}

/** Those of an object that do not contradict what it says already; all, where each does. */
export function fitting(schemas: readonly Schema[], beside: ReadonlyMap<string, unknown>): readonly Schema[] {
  const found = schemas.filter((schema) => [...beside].every((said) => allows(schema, said)));
  return found.length === 0 ? schemas : found;
}

function allows(
  { properties = {}, additionalProperties }: Schema,
  [name, value]: readonly [name: string, value: unknown],
): boolean {
  const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
  if (schema === undefined) return additionalProperties !== false;
  return valuesOf(schema)?.includes(value) ?? true;
}

/** The values that a schema names; `undefined` where it names none. */
export function valuesOf({ const: constant, enum: among, type }: Schema): readonly unknown[] | undefined {
  if (constant !== undefined) return [constant];
  return among ?? (type === 'boolean' ? [true, false] : undefined);
}

function within(root: Schema, schemas: readonly Schema[], { name, beside }: Step): Schema[] {
  if (name === undefined)
    return schemas.flatMap(({ items }) => (items === undefined ? [] : alternatives(root, items)));
  const others = new Map([...beside].filter(([other]) => other !== name));
  return fitting(schemas, others).flatMap(({ properties = {}, additionalProperties }) => {
    const found = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    return typeof found === 'object' ? alternatives(root, found) : [];
  });
}

function alternatives(root: Schema, schema: Schema): Schema[] {
  const { $ref, anyOf, oneOf } = schema;
  if ($ref !== undefined) {
    const named = root.$defs?.[$ref.replace(/^#\/\$defs\//, '')];
    return named === undefined ? [] : alternatives(root, named);
  }
  const among = anyOf ?? oneOf;
  return among === undefined ? [schema] : among.flatMap((one) => alternatives(root, one));
}
