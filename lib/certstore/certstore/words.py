"""The dictionary of packed names: strings that recur in the names of CAs. A part of the store's format:
another dictionary needs another version of the format.

The words were chosen greedily from Mozilla's roots of 2026-10-18, by what each saves in all their names;
they share their bytes in TEXT where they can.
"""

# fmt: off
# What stands before the value of an attribute, for each token of one: SET, SEQUENCE, type 2.5.4.x, tag.
# The lengths at 1, 3 and 10 depend on the value's.
FRAMES = (
    b"\x31\0\x30\0\6\3\x55\4\3\x13\0"     # commonName
    b"\x31\0\x30\0\6\3\x55\4\3\x0c\0"
    b"\x31\0\x30\0\6\3\x55\4\x0a\x13\0"  # organizationName
    b"\x31\0\x30\0\6\3\x55\4\x0a\x0c\0"
    b"\x31\0\x30\0\6\3\x55\4\x0b\x13\0"  # organizationalUnitName
    b"\x31\0\x30\0\6\3\x55\4\x0b\x0c\0"
    b"\x31\0\x30\0\6\3\x55\4\6\x13\0"     # countryName
    b"\x31\0\x30\0\6\3\x55\4\7\x13\0"     # localityName
    b"\x31\0\x30\0\6\3\x55\4\7\x0c\0"
    b"\x31\0\x30\0\6\3\x55\4\x08\x13\0"  # stateOrProvinceName
    b"\x31\0\x30\0\6\3\x55\4\x08\x0c\0"
    b"\x31\0\x30\0\6\3\x55\4\x61\x13\0"  # organizationIdentifier
    b"\x31\0\x30\0\6\3\x55\4\x61\x0c\0"
    b"\x31\0\x30\0\6\3\x55\4\5\x13\0"     # serialNumber
)

TEXT = (
    b'Hellenic Academic and ResearSectigo Public Server AuthenUnizeto '
    b'Technologies S.A.NG CERTIFICATE AUTHORITYCertification Authority'
    b' Technologies, Inc.iTrusChina Co.,Ltd.ificate Authority Cybertru'
    b'st Japan ch Institutions www.digicert.comResearch GroupVATHU-235'
    b'84497Autoridad de The USERTRUSTan\xc3\xbas\xc3\xadtv\xc3\xa1nyia Company ABAS-9831'
    b'63327Asseco Data Assured ID. AuthoritySSL CorporScottsdaleoft Co'
    b'rpor ServicesCo., Ltd.Security StarfieldTAIWAN-CA NetworkBudapes'
    b'tBuypass CO.,LTD.FNMT-RCMQuoVadisSystems e-SzignoArizonaD-TRUSTG'
    b'oogle HoustonLimitedSSL.comWISeKeyec Ltd. Root AmazonCOMODOClass'
    b' GlobalJerseyKamu SMicrosOISTE GmbH ROOTFoundSECOMTexasTrustainl'
    b'yekom ECC RSA TLSAsiaAtosDigiIdenSign CA202Telongterum 1\x0b0\t\x06\x03U\x04\x06'
    b'\x13\x02US'
)

# Of each word: where it begins in TEXT (2 bytes, big-endian), and its length.
STARTS = (
    b'\x01P\x02\xa5\x02\x85\x02^\x00\x8e\x01\xb1\x02c\x02\x89\x02)\x01\x84\x02\x8d\x00\x80\x01['
    b'\x02\xb7\x02\xb7\x02\xa8\x019\x02/\x01\xf1\x02\x91\x01E\x02\x95\x01\x05\x01\xb9\x01\xc1'
    b'\x01\xaf\x01\xc9\x025\x00i\x00i\x02;\x01\x8d\x00\xb8\x01\xf8\x02\x99\x01\xd1\x02h\x02A'
    b'\x01\xff\x00\x00\x02\x06\x02\x9d\x02G\x02M\x02\r\x02S\x00Q\x02Y\x01\xd9\x00\xe9\x02*\x00M'
    b'\x02m\x01f\x02\x14\x01p\x00\x1c\x00\x1c\x01\x96\x00+\x02\xa1\x01\x9f\x01\xe1\x01\xa8\x02'
    b'\xab\x02r\x01\x12\x02w\x008\x00\xf7\x02\x1b\x02|\x01\x1f\x00q\x00\xc9\x01\xe9\x02"\x02'
    b'\x81\x00\x93\x01,\x00m\x00\xa6\x01z\x02\xae\x02\xb1\x02\xb4\x00\xd9'
)
LENGTHS = (
    b'\x0b\x03\x04\x05\x04\x08\x05\x04\x06\t\x04\x13\x0b\x0b\r\x03\x0c\x06\x07\x04\x0c\x04\r'
    b'\x08\x08\x03\x08\x06\x04\x17\x06\t\x11\x07\x04\x08\x05\x06\x07\x1c\x07\x04\x06\x06\x07'
    b'\x06\x18\x06\x08\x0e\x04\x04\x05\n\x07\n\x03\x1c\t\x06\x04\t\x08\t\x03\x05\r\x05\x19\x0e'
    b'\x07\x05\r\x05\x10\x08\x07\x05\x13\r\x03\x12\n\x03\x03\x03\x10'
)
