// Finds JavaScript bit operators on addresses and frame numbers: they cut their operands to 32 bits, and a physical address has 52. Such a
// number is known by its type, which @heki/physical-memory brands with a unit; so is what it was added to. `frame % 512` is a
// small number, and may be shifted or masked; a virtual address is a bigint, and may too.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { SyntaxKind } from 'typescript/unstable/ast';
import {
  isAsExpression,
  isBinaryExpression,
  isConditionalExpression,
  isNonNullExpression,
  isParenthesizedExpression,
  isPrefixUnaryExpression,
} from 'typescript/unstable/ast/is';
import { API } from 'typescript/unstable/sync';
import { root } from '../internal/launcher/src/root.mjs';

const BRAND = '@heki/unit';
const BIT_OPERATORS = new Set([
  SyntaxKind.AmpersandToken,
  SyntaxKind.AmpersandEqualsToken,
  SyntaxKind.BarToken,
  SyntaxKind.BarEqualsToken,
  SyntaxKind.CaretToken,
  SyntaxKind.CaretEqualsToken,
  SyntaxKind.LessThanLessThanToken,
  SyntaxKind.LessThanLessThanEqualsToken,
  SyntaxKind.GreaterThanGreaterThanToken,
  SyntaxKind.GreaterThanGreaterThanEqualsToken,
  SyntaxKind.GreaterThanGreaterThanGreaterThanToken,
  SyntaxKind.GreaterThanGreaterThanGreaterThanEqualsToken,
]);
/** Operators whose outcome is as large as an operand is. A difference may be small: `frame - upper * 0x10_0000`. */
const KEEPING = new Set([SyntaxKind.PlusToken, SyntaxKind.AsteriskToken, SyntaxKind.QuestionQuestionToken]);

/** The parts of an operand that may be as large as it is. */
function parts(node) {
  if (isParenthesizedExpression(node) || isAsExpression(node) || isNonNullExpression(node))
    return parts(node.expression);
  if (isConditionalExpression(node)) return [...parts(node.whenTrue), ...parts(node.whenFalse)];
  if (isBinaryExpression(node) && KEEPING.has(node.operatorToken.kind))
    return [...parts(node.left), ...parts(node.right)];
  return [node];
}

/** The operands of a bit operator. */
function operands(node) {
  if (isPrefixUnaryExpression(node) && node.operator === SyntaxKind.TildeToken) return [node.operand];
  return isBinaryExpression(node) && BIT_OPERATORS.has(node.operatorToken.kind)
    ? [node.left, node.right]
    : [];
}

/** Every part of an operand of a bit operator in `file`. */
function operandParts(file) {
  const found = [];
  const visit = (node) => {
    found.push(...operands(node).flatMap(parts));
    node.forEachChild(visit);
  };
  file.forEachChild(visit);
  return found;
}

/** Answers whether a type is that of an address or a frame number that is no bigint. */
function createIsUnit(checker) {
  const known = new Map();
  const number = checker.getNumberType();
  const isUnit = (type) => {
    if (type.isUnionType()) return type.getTypes().some(isKnownUnit);
    if (checker.getPropertyOfType(type, BRAND) === undefined) return false;
    return checker.isTypeAssignableTo(type, number);
  };
  const isKnownUnit = (type) => {
    const answer = known.get(type.id) ?? isUnit(type);
    known.set(type.id, answer);
    return answer;
  };
  return isKnownUnit;
}

/** Each bit operator on an address or a frame number in the sources of a project that `isSearched`, as `FILE:LINE:COLUMN: EXPRESSION`. */
function findBitOperators({ program, checker }, isSearched) {
  const isUnit = createIsUnit(checker);
  return program
    .getSourceFileNames()
    .filter(isSearched)
    .flatMap((name) => {
      const file = program.getSourceFile(name);
      const nodes = operandParts(file);
      if (nodes.length === 0) return [];
      const types = checker.getTypeAtLocation(nodes);
      return nodes.flatMap((node, index) => {
        const type = types[index];
        if (type === undefined || !isUnit(type)) return [];
        const before = file.text.slice(0, node.end - node.getText(file).length).split('\n');
        return [
          `${relative(root, name)}:${before.length}:${before.at(-1).length + 1}: ${node.getText(file)}`,
        ];
      });
    });
}

/** What must be found, one a line, and what must not: a check that finds nothing any more would pass for ever. */
const FOUND = `
leaf.guestFrame & 511
mask | gfn
frameOf(gpa) >>> 3
(maybe ?? 0) >>> 9
(gfn as number) >>> 9
(gfn + 1) & 511
(mask === 0 ? gfn : 0) & 1
frames[0] & 1
~pfn
gpa >>= 12
1 << gfn
generic(pfn) & 1
\`\${{ a: \`\${gfn >>> 3}\` }}\`
`;
const NOT_FOUND = `
address >> 12n
(gfn % 512) >>> 2
mask | gfn % 16
frames.length & 3
permissions.get(gfn) & 2
mask & 1
gfn && pfn
`;
const DECLARATIONS = `
export {};
type Unit<U> = number & { readonly '${BRAND}': U };
declare let gpa: Unit<'gpa'>;
declare const [gfn, pfn]: [Unit<'gfn'>, Unit<'pfn'>];
declare const maybe: Unit<'gfn'> | undefined;
declare const frames: [Unit<'gfn'>, Unit<'gfn'>];
declare const leaf: { readonly guestFrame: Unit<'gfn'> };
declare const mask: number;
declare const address: bigint & { readonly '${BRAND}': 'virtual' };
declare const permissions: { get(frame: Unit<'gfn'>): number };
declare function frameOf(address: Unit<'gpa'>): Unit<'gfn'>;
declare function generic<F extends Unit<'gfn'> | Unit<'pfn'>>(frame: F): F;
`;

const scratch = mkdtempSync(join(tmpdir(), 'heki-bits-'));
const samples = Object.entries({ found: FOUND, 'not-found': NOT_FOUND }).flatMap(([name, text]) =>
  text
    .trim()
    .split('\n')
    .map((line, index) => ({ name: `${name}-${index}.ts`, line })),
);
for (const { name, line } of samples) writeFileSync(join(scratch, name), `${DECLARATIONS}${line};\n`);
const ownConfig = join(scratch, 'tsconfig.json');
writeFileSync(ownConfig, '{"compilerOptions":{"strict":true,"types":[],"target":"es2023"}}');

const api = new API({ cwd: root });
const config = join(root, 'tsconfig.tests.json');
const snapshot = api.updateSnapshot({ openProjects: [ownConfig, config] });
const inSamples = findBitOperators(snapshot.getProject(ownConfig), (name) => name.startsWith(scratch));
const wrong = samples.filter(
  ({ name }) => inSamples.some((found) => found.includes(`/${name}:`)) === name.startsWith('not-found'),
);
for (const { name, line } of wrong)
  console.error(`this check ${name.startsWith('not') ? 'finds' : 'does not find'}: ${line}`);
const found = findBitOperators(
  snapshot.getProject(config),
  (name) =>
    name.startsWith(join(root, 'packages')) &&
    !/\/node_modules\/|\.d\.ts$|\.(?:test|bench)\.ts$|\/testing\/|\.config\.ts$/.test(name),
);
for (const place of found.sort())
  console.error(
    `${place}: a bit operator cuts it to 32 bits; use % and Math.floor, or the helpers of @heki/physical-memory`,
  );
api.close();
rmSync(scratch, { recursive: true });
process.exitCode = found.length + wrong.length === 0 ? 0 : 1;
