const CHARACTER_WIDTH = 8.4;
const LINE_HEIGHT = 18;
const MARGIN = 16;
const BACKGROUND = '#0d1117';
const FOREGROUND = '#e6edf3';

/** Attributes of a text after an SGR sequence (ECMA-48 8.3.117): of its weight or of its colour, which end apart from each other. */
const WEIGHTS: Readonly<Record<string, string>> = { 1: ' font-weight="bold"', 2: ' opacity="0.6"', 22: '' };
const COLOURS: Readonly<Record<string, string>> = {
  31: ' fill="#ff7b72"',
  32: ' fill="#7ee787"',
  33: ' fill="#e3b341"',
  36: ' fill="#79c0ff"',
  39: '',
};

/** Lines as a terminal shows them, colours and all, as an SVG picture with a title. */
export function terminalPicture(title: string, lines: readonly string[]): string {
  const columns = Math.max(...lines.map((line) => [...plain(line)].length));
  const width = Math.ceil(columns * CHARACTER_WIDTH + 2 * MARGIN);
  const height = lines.length * LINE_HEIGHT + 2 * MARGIN;
  const texts = lines.flatMap((line, index) => {
    const length = [...plain(line)].length;
    if (length === 0) return [];
    const y = MARGIN + (index + 0.75) * LINE_HEIGHT;
    const size = (length * CHARACTER_WIDTH).toFixed(1);
    return `<text x="${MARGIN}" y="${y}" textLength="${size}" lengthAdjust="spacingAndGlyphs" xml:space="preserve">${spans(line)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>`,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="14" fill="${FOREGROUND}">`,
    ...texts,
    '</g>',
    '</svg>',
  ].join('\n');
}

/** What a terminal makes of SGR sequences. */
const SGR = new RegExp(`${String.fromCharCode(27)}\\[(\\d+)m`, 'g');

function plain(line: string): string {
  return line.replaceAll(SGR, '');
}

/** One span for each stretch of a style. */
function spans(line: string): string {
  let weight = '';
  let colour = '';
  return line
    .split(SGR)
    .map((part, index) => {
      if (index % 2 === 1) {
        weight = WEIGHTS[part] ?? weight;
        colour = COLOURS[part] ?? colour;
        return '';
      }
      const text = escapeXml(part);
      const style = `${weight}${colour}`;
      return style === '' || text === '' ? text : `<tspan${style}>${text}</tspan>`;
    })
    .join('');
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
