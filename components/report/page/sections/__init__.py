"""The sections of the page, a module each; `cxr.components.report.page.render` has their order."""
