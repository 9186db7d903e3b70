const FENCE = /^```(\w*)\n([^]*?)^```$/gm;
const HEADING = /^#+ .*$/gm;

export function blocksOf(text) {
  const blocks = [...text.matchAll(FENCE)];
  const isInBlock = (place) => blocks.some(({ 0: { length }, index }) => place >= index && place < index + length);
  const headings = [...text.matchAll(HEADING)].filter(({ index }) => !isInBlock(index));
  return blocks.map(({ 1: language, 2: code, index }) => ({
    language,
    code,
    line: text.slice(0, index).split('\n').length,
    heading: headings.findLast((heading) => heading.index < index)?.[0] ?? '',
  }));
}
