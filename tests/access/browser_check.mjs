// Opens the access report in a real browser, uses it as people do, and writes what it shows as JSON.
// Arguments: path of the browser, the report, the name of the cell to choose, a file for a screenshot.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'

const [program, report, name, picture] = process.argv.slice(2)
const browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] })
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
const problems = []
const requests = []
page.on('console', (message) => problems.push(message.text()))
page.on('pageerror', (error) => problems.push(String(error)))
page.on('request', (request) => requests.push(request.url()))
await page.goto(pathToFileURL(report).href)

const cell = page.getByRole('button', { name, exact: true })
const dialog = page.getByRole('dialog')
const seen = { problems, requests, label: await cell.innerText(), hover: await cell.getAttribute('title') }

await cell.click()
seen.clicked = await dialog.innerText()
await page.keyboard.press('Escape')
seen.closed = (await dialog.count()) === 0

await cell.focus()
await page.keyboard.press('Enter')
seen.pressed = await dialog.innerText()
seen.focused = await page.evaluate(() => document.activeElement.textContent)
await page.keyboard.press('Enter')
seen.returned = await cell.evaluate((element) => element === document.activeElement)

await page.addScriptTag({ path: createRequire(import.meta.url).resolve('axe-core') })
for (const colorScheme of ['light', 'dark']) {
  await page.emulateMedia({ colorScheme })
  const audit = async () => {
    const { violations } = await page.evaluate(() => axe.run())
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`)
  }
  const closed = await audit()
  await cell.click()
  seen[colorScheme] = { violations: [...closed, ...(await audit())] }
  await page.keyboard.press('Escape')
  seen[colorScheme].background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
}

await page.emulateMedia({ colorScheme: 'light' })
await page.evaluate(() => document.activeElement.blur())
await page.screenshot({ path: picture })
await page.setViewportSize({ width: 390, height: 844 })
const head = page.locator('tbody th').first()
const phone = { overflow: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth) }
const box = async () => head.evaluate((element) => {
  const { left, width } = element.getBoundingClientRect()
  return { left, width }
})
phone.head = await box()
phone.visibleCells = await page.evaluate(() => {
  const row = document.querySelector('tbody tr')
  return [...row.querySelectorAll('td')].filter((cell) => cell.getBoundingClientRect().right <= innerWidth).length
})
phone.scrolled = await page.locator('.scroll').first().evaluate((element) => {
  element.scrollLeft = element.scrollWidth
  return element.scrollLeft
})
phone.scrolledHead = await box()
await page.screenshot({ path: picture.replace('.png', '-phone.png') })
seen.phone = phone
await page.setViewportSize({ width: 1280, height: 900 })

await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
seen.printed = (await page.pdf()).subarray(0, 5).toString()
seen.inkOnPaper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
await browser.close()
process.stdout.write(JSON.stringify(seen))
