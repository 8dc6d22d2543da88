/**
 * What of a page is searched: of the pages of the API names and what is said of them, without parameters and types, which are two thirds of
 * all text there; of every other page all.
 *
 * @param path of the page in the site's sources
 */
export function searchedText(path: string, markdown: string): string {
  if (!path.startsWith('api/')) return markdown;
  const kept: string[] = [];
  let isDeep = false;
  let said = 0;
  for (const line of markdown.replaceAll(/^```[\s\S]*?^```$/gm, '').split('\n')) {
    const [, marks] = /^(#+) /.exec(line) ?? [];
    if (marks !== undefined) {
      isDeep = marks.length > 3;
      said = 0;
    }
    if (isDeep || /^(?:Defined in:|> |\||<a )/.test(line)) continue;
    // The first paragraph below a name.
    if (marks === undefined && line !== '' && said++ > 0) continue;
    kept.push(line);
  }
  return kept.join('\n');
}
