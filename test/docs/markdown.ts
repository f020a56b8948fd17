/** What tests look at in a page: headings, links, code, tables. */
import { readFileSync } from "node:fs";

export interface Page {
  readonly path: string;
  readonly text: string;
  /** The text without fenced code. */
  readonly prose: string;
  /** Contents of code between backticks, and lines of fenced code that is a shell's or without a language. */
  readonly spans: readonly string[];
  readonly shellLines: readonly string[];
}

export function readPage(path: string): Page {
  const text = readFileSync(path, "utf8");
  const fences = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)];
  const prose = fences.reduce((left, [fence]) => left.replace(fence, ""), text);
  return {
    path,
    text,
    prose,
    spans: [...prose.matchAll(/`([^`]+)`/g)].map(([, span = ""]) => span.replace(/\s+/g, " ")),
    shellLines: fences
      .filter(([, language]) => language === "sh" || language === "")
      .flatMap(([, , lines = ""]) => lines.split("\n")),
  };
}

/** Targets of links, as written. */
export function linksOf({ prose }: Page): readonly string[] {
  const withoutCode = prose.replace(/`[^`]+`/g, "code");
  return [...withoutCode.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
}

/** The anchors that GitHub gives headings. */
export function anchorsOf({ prose }: Page): readonly string[] {
  const seen = new Map<string, number>();
  return [...prose.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) => {
    const slug = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    return times === 0 ? slug : `${slug}-${times}`;
  });
}

/** First cells of the table below a heading, without its head. */
export function firstCells({ text }: Page, heading: string): readonly string[] {
  const [, section = ""] = text.split(`\n${heading}\n`);
  const [own = ""] = section.split(/\n#{1,6} /);
  const rows = [...own.matchAll(/^\| (.*?) +\|/gm)].map(([, cell = ""]) => cell.trim());
  return rows.filter((cell) => cell.includes("`"));
}
