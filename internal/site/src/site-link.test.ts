import { describe, expect, it } from 'vitest';
import { changeLinks, type LinkContext, siteLink } from './site-link.ts';

const HOME = 'https://example.org/heki';
const CONTEXT: LinkContext = {
  home: HOME,
  pages: new Map([
    ['docs/defects.md', 'docs/defects.md'],
    ['packages/kvm/README.md', 'packages/kvm/index.md'],
  ]),
  assets: new Set(['docs/protect.svg']),
};

describe('links of the site', () => {
  it.each([
    ['defects.md', 'docs/kvm.md', '/docs/defects.md'],
    ['defects.md#b-h1', 'docs/kvm.md', '/docs/defects.md#b-h1'],
    ['../packages/kvm', 'docs/kvm.md', '/packages/kvm/index.md'],
    ['../packages/kvm/', 'docs/kvm.md', '/packages/kvm/index.md'],
    [`${HOME}/tree/main/packages/kvm#readme`, 'packages/ept/README.md', '/packages/kvm/index.md'],
    [`${HOME}/blob/main/docs/defects.md#b-h1`, 'packages/ept/README.md', '/docs/defects.md#b-h1'],
  ])('lead to a page where there is one: %s in %s', (target, from, expected) => {
    expect(siteLink(target, from, CONTEXT)).toBe(expected);
  });

  it.each([
    ['../packages/kvm/src/options.ts', 'docs/kvm.md', `${HOME}/blob/main/packages/kvm/src/options.ts`],
    ['../LICENSE', 'docs/kvm.md', `${HOME}/blob/main/LICENSE`],
  ])('lead to the repository where there is none: %s', (target, from, expected) => {
    expect(siteLink(target, from, CONTEXT)).toBe(expected);
  });

  it('lead into the inspector itself where they name a place in it, past the script of the site', () => {
    const context = { ...CONTEXT, pages: new Map([['docs/inspector.md', 'docs/inspector.md']]) };
    const linked = (text: string) =>
      changeLinks(text, (target) => siteLink(target, 'docs/attacks.md', context));
    expect(linked('[a](inspector.md#attacks?attack=b&left=c)')).toBe(
      '[a](/inspector/index.html#attacks?attack=b&left=c){target="_self"}',
    );
    expect(linked('[a](inspector.md#fidelity)')).toBe('[a](/docs/inspector.md#fidelity)');
  });

  it.each(['#here', 'https://lore.kernel.org/x', 'protect.svg', `${HOME}/issues`])('stay: %s', (target) => {
    expect(siteLink(target, 'docs/kvm.md', CONTEXT)).toBe(target);
  });

  it('are those of the text, and none of code', () => {
    const text = 'a [b](c)\n```ts\nf[0](c)\n```\n[d](c) ![e](c)';
    expect(changeLinks(text, () => 'X')).toBe('a [b](X)\n```ts\nf[0](c)\n```\n[d](X) ![e](X)');
  });
});
