import { expect, it } from 'vitest';
import { searchedText } from './searched-text.ts';

const PAGE = `# @heki/x86

## Functions

<a id="walk"></a>

### walk()

> **walk**(\`x\`): [\`Y\`](#y)

Defined in: packages/x86/src/walk.ts:4

Goes down.

And says so.

#### Parameters

##### x

What x is.

### other
`;

it('of a page of the API names are searched, and the first paragraph of what is said of them', () => {
  const lines = searchedText('api/@heki/x86.md', PAGE)
    .split('\n')
    .filter((line) => line !== '');
  expect(lines).toEqual(['# @heki/x86', '## Functions', '### walk()', 'Goes down.', '### other']);
});

it('of other pages everything', () => {
  expect(searchedText('docs/kvm.md', PAGE)).toBe(PAGE);
});
